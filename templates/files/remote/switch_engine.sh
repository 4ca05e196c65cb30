# Makes an engine the current one (nothing is restarted), links its programs for people, clears away engines of no use.
DIGEST={{ digest }}
# Names in `bin`, one a line, to be found in /usr/local/bin.
LINKS={{ links }}
# Whether to remove engines that are neither current nor previous nor in use.
PRUNE={{ prune }}

[ -d "$ENGINE/$DIGEST" ] || fail 1 "no engine $DIGEST on this host"
answer=already-so

# Puts LINK -> VALUE in one move.
point() {
    rm -f -- "$1.$$"
    ln -s "$2" "$1.$$"
    mv -fT "$1.$$" "$1"
    answer=done
}

before=$(readlink "$ENGINE/current" 2>/dev/null || :)
if [ "$before" != "$DIGEST" ]; then
    if [ -n "$before" ]; then point "$ENGINE/previous" "$before"; fi
    point "$ENGINE/current" "$DIGEST"
    settle "$ENGINE"
fi
say "previous=$(readlink "$ENGINE/previous" 2>/dev/null || :)"

open_dir "$ROOT/usr/local/bin"
for name in $LINKS; do
    link=$ROOT/usr/local/bin/$name
    wanted=$ENGINE/current/bin/$name
    is=$(readlink "$link" 2>/dev/null || :)
    if [ "$is" = "$wanted" ]; then
        continue
    elif [ -e "$link" ] || [ -L "$link" ]; then
        case $is in
            "$ENGINE"/*) point "$link" "$wanted" ;;
            *) say "kept=$name" ;; # somebody else's
        esac
    else
        point "$link" "$wanted"
    fi
done
# Links of ours into a program this engine does not have.
for link in "$ROOT/usr/local/bin"/*; do
    [ -L "$link" ] || continue
    case $(readlink "$link") in "$ENGINE"/*) [ -e "$link" ] || rm -f -- "$link" ;; esac
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
