/* SPDX-License-Identifier: ISC */
/* The shells' completion scripts: they ask `mailproxyctl __complete WORDS...`. */
#include "base/cleanup.h"
#include "ctl/complete.h"

/* bash cuts words at = : @ and more (COMP_WORDBREAKS): the line is cut at blanks here, and what
 * bash believes to be done already is taken off the candidates. */
static const char bash_script[] =
    "# bash completion for mailproxyctl. SPDX-License-Identifier: ISC\n"
    "_mailproxyctl() {\n"
    "    local line=${COMP_LINE:0:COMP_POINT} current candidate rest IFS=$' \\t\\n'\n"
    "    local -a words\n"
    "    read -ra words <<<\"$line\"\n"
    "    [[ $line == *[[:blank:]] ]] && words+=('')\n"
    "    current=${words[${#words[@]} - 1]}\n"
    "    rest=${current##*[=:@<>]}\n"
    "    COMPREPLY=()\n"
    "    while IFS=$'\\t' read -r candidate _; do\n"
    "        COMPREPLY+=(\"${candidate:$((${#current} - ${#rest}))}\")\n"
    "    done < <(\"${words[0]}\" __complete \"${words[@]:1}\" 2>/dev/null)\n"
    "    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=\\>/] ]] && compopt -o nospace\n"
    "    return 0\n"
    "}\n"
    "complete -F _mailproxyctl mailproxyctl\n";

static const char zsh_script[] = "#compdef mailproxyctl\n"
                                 "# zsh completion for mailproxyctl. SPDX-License-Identifier: ISC\n"
                                 "_mailproxyctl() {\n"
                                 "    local line\n"
                                 "    local -a plain bare open fields\n"
                                 "    for line in ${(f)\"$(${words[1]} __complete "
                                 "\"${(@Q)words[2,CURRENT]}\" 2>/dev/null)\"}; do\n"
                                 "        fields=(\"${(@ps:\\t:)line}\")\n"
                                 "        if [[ ${fields[1]} == *[=\\>/] ]]; then\n"
                                 "            open+=(\"${fields[1]}\")\n"
                                 "        elif [[ -z ${fields[2]} ]]; then\n"
                                 "            bare+=(\"${fields[1]}\")\n"
                                 "        else\n"
                                 "            plain+=(\"${fields[1]//:/\\\\:}:${fields[2]}\")\n"
                                 "        fi\n"
                                 "    done\n"
                                 "    (( ${#open} )) && compadd -Q -S '' -- \"${open[@]}\"\n"
                                 "    (( ${#bare} )) && compadd -V bare -- \"${bare[@]}\"\n"
                                 "    (( ${#plain} )) && _describe -V 'mailproxyctl' plain\n"
                                 "}\n"
                                 "if [[ ${funcstack[1]} == _mailproxyctl ]]; then\n"
                                 "    _mailproxyctl \"$@\"\n"
                                 "else\n"
                                 "    compdef _mailproxyctl mailproxyctl\n"
                                 "fi\n";

static const char fish_script[] =
    "# fish completion for mailproxyctl. SPDX-License-Identifier: ISC\n"
    "function __mailproxyctl_complete\n"
    "    set -l words (commandline -opc) (commandline -ct)\n"
    "    command $words[1] __complete $words[2..-1] 2>/dev/null\n"
    "end\n"
    "complete -c mailproxyctl -f -a '(__mailproxyctl_complete)'\n";

bool complete_script(FILE *f, const char *shell)
{
    static const struct {
        const char *shell, *script;
    } scripts[] = {{"bash", bash_script}, {"zsh", zsh_script}, {"fish", fish_script}};
    for (size_t i = 0; i < ARRAY_LEN(scripts); i++)
        if (strcmp(shell, scripts[i].shell) == 0) {
            fputs(scripts[i].script, f);
            return true;
        }
    return false;
}
