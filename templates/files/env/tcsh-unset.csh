{% for name in unset %}unsetenv {{ name|safe }};
{% endfor %}: Run this command to configure your shell: 
: {{ command }}
