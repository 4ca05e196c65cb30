{% for name in unset %}set -e {{ name|safe }};
{% endfor %}# Run this command to configure your shell: 
# eval ({{ command|safe }})
