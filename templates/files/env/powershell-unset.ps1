{% for name in unset %}Remove-Item Env:\{{ name|safe }} -ErrorAction SilentlyContinue
{% endfor %}# Run this command to configure your shell: 
# & {{ command|safe }} | Invoke-Expression
