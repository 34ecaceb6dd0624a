# bash completion for mailproxyctl. SPDX-License-Identifier: ISC
_mailproxyctl() {
    local line=${COMP_LINE:0:COMP_POINT} current candidate rest IFS=$' \t\n'
    local -a words
    read -ra words <<<"$line"
    [[ $line == *[[:blank:]] ]] && words+=('')
    current=${words[${#words[@]} - 1]}
    rest=${current##*[=:@<>]}
    COMPREPLY=()
    while IFS=$'\t' read -r candidate _; do
        COMPREPLY+=("${candidate:$((${#current} - ${#rest}))}")
    done < <("${words[0]}" __complete "${words[@]:1}" 2>/dev/null)
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=\>/] ]] && compopt -o nospace
    return 0
}
complete -F _mailproxyctl mailproxyctl
