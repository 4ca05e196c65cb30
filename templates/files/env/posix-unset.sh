{% for name in unset %}unset {{ name|safe }}
{% endfor %}# Run this command to configure your shell: 
# eval $({{ command|safe }})
