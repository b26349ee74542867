# Completion of confcastctl for bash.  The program itself knows what may come next.

_confcastctl()
{
    local rest=${COMP_LINE:0:COMP_POINT} words=() word i line current lead

    # bash takes words apart at = and :, which are part of ours.
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        [[ $i -eq 0 || $rest == [[:space:]]* ]] && words+=("")
        rest=${rest#"${rest%%[![:space:]]*}"}
        [[ $i -eq COMP_CWORD || ${#word} -gt ${#rest} ]] && word=$rest
        words[${#words[@]}-1]+=$word
        rest=${rest:${#word}}
    done
    current=${words[${#words[@]}-1]}
    lead=${current%"${current##*[=:]}"}

    COMPREPLY=()
    while IFS= read -r line; do
        case $line in
            :none) ;;
            :files) compopt -o filenames 2>/dev/null
                mapfile -t COMPREPLY < <(compgen -f -- "${current#"$lead"}") ;;
            :dirs) compopt -o filenames 2>/dev/null
                mapfile -t COMPREPLY < <(compgen -d -- "${current#"$lead"}") ;;
            *) line=${line%%$'\t'*}
                COMPREPLY+=("${line#"$lead"}") ;;
        esac
    done < <("${words[0]/#\~\//$HOME/}" --complete "${words[@]:1}" 2>/dev/null)
}

complete -F _confcastctl confcastctl
