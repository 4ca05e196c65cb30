{% for name in unset %}set -e {{ name|safe }};
{% endfor %}{% for (name, value) in set %}set -gx {{ name|safe }} {{ value }};
{% endfor %}# Run this command to configure your shell: 
# eval ({{ command|safe }})
