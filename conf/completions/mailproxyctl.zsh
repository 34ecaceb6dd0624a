#compdef mailproxyctl
# zsh completion for mailproxyctl. SPDX-License-Identifier: ISC
_mailproxyctl() {
    local line
    local -a plain bare open fields
    for line in ${(f)"$(${words[1]} __complete "${(@Q)words[2,CURRENT]}" 2>/dev/null)"}; do
        fields=("${(@ps:\t:)line}")
        if [[ ${fields[1]} == *[=\>/] ]]; then
            open+=("${fields[1]}")
        elif [[ -z ${fields[2]} ]]; then
            bare+=("${fields[1]}")
        else
            plain+=("${fields[1]//:/\\:}:${fields[2]}")
        fi
    done
    (( ${#open} )) && compadd -Q -S '' -- "${open[@]}"
    (( ${#bare} )) && compadd -V bare -- "${bare[@]}"
    (( ${#plain} )) && _describe -V 'mailproxyctl' plain
}
if [[ ${funcstack[1]} == _mailproxyctl ]]; then
    _mailproxyctl "$@"
else
    compdef _mailproxyctl mailproxyctl
fi
