# Completion of confcastctl for fish.  The program itself knows what may come next.

function __confcastctl_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l lines ($words[1] --complete $words[2..-1] "$current" 2>/dev/null)
    switch "$lines[-1]"
        case :files
            __fish_complete_path "$current"
        case :dirs
            __fish_complete_directories "$current"
        case '*'
            string match -v -- ':none' $lines
    end
end

complete -c confcastctl -f -a '(__confcastctl_complete)'
