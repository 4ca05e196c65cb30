{% for name in unset %}unset {{ name|safe }};
{% endfor %}{% for (name, value) in set %}export {{ name|safe }}={{ value }}
{% endfor %}# Run this command to configure your shell: 
# eval $({{ command|safe }})
