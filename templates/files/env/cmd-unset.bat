{% for name in unset %}SET {{ name|safe }}=
{% endfor %}REM Run this command to configure your shell: 
REM 	@FOR /f "tokens=*" %i IN ('{{ command|safe }}') DO @%i
