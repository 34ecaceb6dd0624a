# fish completion for mailproxyctl. SPDX-License-Identifier: ISC
function __mailproxyctl_complete
    set -l words (commandline -opc) (commandline -ct)
    command $words[1] __complete $words[2..-1] 2>/dev/null
end
complete -c mailproxyctl -f -a '(__mailproxyctl_complete)'
