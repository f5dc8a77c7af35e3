# shellcheck shell=bash
# Sourced by bench/comparison and bench/growth: what both do that measure for the book.
#
# All is made in a folder below bench/target, which takes the place of the book's when it is whole,
# drawings of before included. Otherwise the book is left as it was, figures that were measured are
# kept in that folder, and stderr says where.

bench=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
script=bench/$(basename "$0")

# begin NAME WORD...: which part of the book it is, and what the script was called with. Sets `book`,
# where that part is, and `new`, where it is made anew.
begin() {
    book=$(dirname "$bench")/docs/src/reference/generated/$1
    shift
    local word
    for word; do
        case $word in
        -h | --help) usage && exit ;;
        --again) [[ $# -eq 1 ]] || refuse "--again measures nothing, and stands alone." ;;
        --json | --json=*) refuse "no --json here: the figures go to $book/figures.json." ;;
        esac
    done
    if [[ ${1:-} == --again && ! -s $book/figures.json ]]; then
        echo "$script: there are no figures in $book yet: measure first." >&2
        exit 1
    fi
    mkdir -p "$bench/target"
    new=$(mktemp -d "$bench/target/${script##*/}.XXXXXX")
    trap ended EXIT
    [[ ${1:-} != --again ]] || cp "$book/figures.json" "$new"
}

# The comment that the script begins with.
usage() {
    sed -n '2,${/^#/!q;s/^# \{0,1\}//p}' "$0"
}

refuse() {
    printf '%s: %s\n\n' "$script" "$1" >&2
    usage >&2
    exit 2
}

# Puts what was made into the book.
finish() {
    chmod 755 "$new"
    mkdir -p "$book"
    rm -r "$book"
    mv "$new" "$book"
    echo "The book has them: $book" >&2
}

# Whatever ends the script: nothing is left to be said once the book has it all.
ended() {
    [[ -e $new ]] || return 0
    echo "$script: something failed, as is said above: the book is left as it was." >&2
    if [[ -s $new/figures.json ]] && ! cmp -s "$new/figures.json" "$book/figures.json"; then
        find "$new" -type f ! -name figures.json -delete
        echo "$script: what was measured is kept, for \`bench table\`: $new/figures.json" >&2
    else
        rm -r "$new"
    fi
}
