# Turns checked rows into JSON; prices become whole cents. Use: awk -f json.awk products.csv

BEGIN { FS = ","; printf "{\"products\": [" }

FNR > 1 {
    cents = $4
    sub(/\./, "", cents)
    printf "%s\n  {\"sku\": \"%s\", \"name\": \"%s\", \"category\": \"%s\", \"cents\": %d}", separator, $1, $2, $3, cents
    separator = ","
}

END { print "\n]}" }
