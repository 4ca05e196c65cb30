{% for name in unset %}Remove-Item Env:\{{ name|safe }} -ErrorAction SilentlyContinue
{% endfor %}{% for (name, value) in set %}$Env:{{ name|safe }} = {{ value }}
{% endfor %}# Run this command to configure your shell: 
# & {{ command|safe }} | Invoke-Expression
