# Makes an engine the current one (nothing is restarted), links its programs for people, clears away engines of no use.
DIGEST={{ digest }}
# Names in `bin`, one a line, to be found in /usr/local/bin, where the host has no such program of its own.
LINKS={{ links }}
# Whether to remove engines that are neither current nor previous nor in use.
PRUNE={{ prune }}

[ -d "$ENGINE/$DIGEST" ] || fail 1 "no engine $DIGEST on this host"
answer=already-so

before=$(readlink "$ENGINE/current" 2>/dev/null || :)
if [ "$before" != "$DIGEST" ]; then
    if [ -n "$before" ]; then point "$ENGINE/previous" "$before"; fi
    point "$ENGINE/current" "$DIGEST"
    flush "$ENGINE"
    answer=done
fi
say "previous=$(readlink "$ENGINE/previous" 2>/dev/null || :)"

# A program of that name that came with the host, behind ours in PATH.
elsewhere() {
    for dir in /usr/sbin /usr/bin /sbin /bin /snap/bin; do
        if [ -e "$ROOT$dir/$1" ]; then return 0; fi
    done
    return 1
}
open_dir "$ROOT$PROGRAMS"
for name in $LINKS; do
    link=$ROOT$PROGRAMS/$name
    wanted=$ENGINE/current/bin/$name
    is=$(readlink "$link" 2>/dev/null || :)
    if elsewhere "$name"; then
        say "kept=$name"
        case $is in "$ENGINE"/*) rm -f -- "$link"; answer=done ;; esac
        continue
    elif [ "$is" = "$wanted" ]; then
        continue
    elif [ -e "$link" ] || [ -L "$link" ]; then
        case $is in
            "$ENGINE"/*) ;;
            *) say "kept=$name"; continue ;; # somebody else's
        esac
    fi
    point "$link" "$wanted"
    answer=done
done
# Links of ours into a program this engine does not have, or that earlier releases made for more of them.
for link in "$ROOT$PROGRAMS"/*; do
    [ -L "$link" ] || continue
    case $(readlink "$link") in "$ENGINE"/*) ;; *) continue ;; esac
    if [ ! -e "$link" ] || ! printf '%s\n' "$LINKS" | grep -qxF "${link##*/}"; then rm -f -- "$link"; fi
done

if [ "$PRUNE" = true ]; then
    previous=$(readlink "$ENGINE/previous" 2>/dev/null || :)
    for dir in "$ENGINE"/*/; do
        dir=${dir%/}
        name=${dir##*/}
        if [ -L "$dir" ] || [ ! -d "$dir" ] || [ "$name" = "$DIGEST" ] || [ "$name" = "$previous" ]; then continue; fi
        # A shim of an old engine lives as long as its container.
        used=
        for exe in /proc/[0-9]*/exe; do
            case $(readlink "$exe" 2>/dev/null || :) in "$dir"/*) used=1; break ;; esac
        done
        if [ -n "$used" ]; then
            say "in-use=$name"
        else
            rm -rf -- "$dir"
            say "removed=$name"
            answer=done
        fi
    done
fi
say "$answer"
