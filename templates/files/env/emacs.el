{% for name in unset %}(setenv "{{ name|safe }}" nil)
{% endfor %}{% for (name, value) in set %}(setenv "{{ name|safe }}" {{ value }})
{% endfor %};; Run this command to configure your shell: 
;; (with-temp-buffer (shell-command {{ command }} (current-buffer)) (eval-buffer))
