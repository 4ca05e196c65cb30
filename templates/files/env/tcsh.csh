{% for name in unset %}unsetenv {{ name|safe }};
{% endfor %}{% for (name, value) in set %}setenv {{ name|safe }} {{ value }};
{% endfor %}: Run this command to configure your shell: 
: {{ command }}
