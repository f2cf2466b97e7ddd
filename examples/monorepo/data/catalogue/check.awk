# Checks the rows of products.csv. Use: awk -f check.awk products.csv
# Fields are plain: no quotes, no backslashes, no commas inside. That keeps json.awk honest.

BEGIN { FS = ","; COLUMNS = "sku,name,category,price" }

function complain(message) {
    printf "%s:%d: %s\n", FILENAME, FNR, message
    problems++
}

FNR == 1 {
    if ($0 != COLUMNS) complain("first line must be " COLUMNS)
    next
}

NF != 4                          { complain(NF " fields, not 4"); next }
/["\\]/                          { complain("quote or backslash") }
$1 !~ /^[a-z]+(-[a-z]+)+$/       { complain("sku " $1 " is not like bun-plain") }
$1 in line_of                    { complain("sku " $1 " is already on line " line_of[$1]) }
$2 == ""                         { complain("no name") }
$3 !~ /^(bread|buns|cakes)$/     { complain("unknown category " $3) }
$4 !~ /^[0-9]+\.[0-9][0-9]$/     { complain("price " $4 " is not like 1.50") }
$4 ~ /^0+\.00$/                  { complain("price is zero") }
                                 { line_of[$1] = FNR; rows++ }

END {
    if (!rows && !problems) { print "no products"; problems = 1 }
    if (problems) exit 1
    printf "%d products, all rows fine\n", rows
}
