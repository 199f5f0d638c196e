# Says `lines` lines of an exchange: every 5,000 an error with 39 consequences, some warnings, some long lines, and at `needle`
# a line that holds "needle". Ends with status 1.
BEGIN {
  for (n = 1; n <= lines; n++) {
    if (n == needle) print "the needle <b>FNAC-77</b> stands here"
    else if (n % 5000 == 4000) print "{\"level\":\"error\",\"class\":\"mapping\",\"msg\":\"no product for code FNAC-" n "\",\"file\":\"sales.csv\"}"
    else if (n % 5000 > 4000 && n % 5000 < 4040) print "{\"level\":\"error\",\"class\":\"cascade\",\"msg\":\"record " n " was not written\"}"
    else if (n % 1777 == 0) print "WARNING slow answer of the shop: " n % 900 " ms"
    else if (n % 3001 == 0) print "a very long line " n ":" sprintf("%300s", "end")
    else print "page " n " of " lines ": read 62 records, wrote 62, skipped 0"
  }
  exit 1
}
