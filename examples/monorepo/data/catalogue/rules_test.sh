# Shows the checker one row at a time. Each case: the row, and what must be said about it.
# Also holds json.awk to one exact output.
failures=0

expect() { # title, actual, expected part
    case $2 in
        *"$3"*) echo "ok - $1" ;;
        *) echo "FAILED - $1: expected '$3', got '$2'"; failures=$((failures + 1)) ;;
    esac
}

check() { # rows; prints what the checker says, and its exit code
    printf 'sku,name,category,price\n%b' "$1" > rows.csv
    awk -f check.awk rows.csv
    echo "exit $?"
}

good='bun-plain,Plain roll,buns,0.70\n'

expect "a good row passes"          "$(check "$good")"                               "1 products, all rows fine"
expect "and exits with 0"           "$(check "$good")"                               "exit 0"
expect "a bad row exits with 1"     "$(check 'Bun,Plain roll,buns,0.70\n')"          "exit 1"
expect "skus have a shape"          "$(check 'Bun,Plain roll,buns,0.70\n')"          "rows.csv:2: sku Bun is not like bun-plain"
expect "skus are unique"            "$(check "$good$good")"                          "rows.csv:3: sku bun-plain is already on line 2"
expect "names are needed"           "$(check 'bun-plain,,buns,0.70\n')"              "no name"
expect "categories are known"       "$(check 'bun-plain,Plain roll,soup,0.70\n')"    "unknown category soup"
expect "prices have two decimals"   "$(check 'bun-plain,Plain roll,buns,0.7\n')"     "price 0.7 is not like 1.50"
expect "nothing is free"            "$(check 'bun-plain,Plain roll,buns,0.00\n')"    "price is zero"
expect "a comma makes a field"      "$(check 'bun-plain,Plain, roll,buns,0.70\n')"   "5 fields, not 4"
expect "quotes are refused"         "$(check 'bun-plain,"Plain",buns,0.70\n')"       "quote or backslash"
expect "an empty list is refused"   "$(check '')"                                    "no products"

check "$good" > said.txt
expect "prices become cents" "$(awk -f json.awk rows.csv | tr -d '\n')" \
    '{"products": [  {"sku": "bun-plain", "name": "Plain roll", "category": "buns", "cents": 70}]}'

[ "$failures" -eq 0 ]
