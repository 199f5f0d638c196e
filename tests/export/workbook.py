"""Reads a workbook as a program that did not write it: its sheets as JSON, cell by cell."""
import json
import sys

import openpyxl


def cell(it):
    fill = it.fill.fgColor.rgb if it.fill.fill_type == "solid" else None
    value = it.value.isoformat() if it.is_date and it.value is not None else it.value
    return {"value": value, "type": it.data_type, "fill": fill, "quoted": it.quotePrefix}


workbook = openpyxl.load_workbook(sys.argv[1])
sheets = [
    {
        "name": sheet.title,
        "frozen": sheet.freeze_panes,
        "filter": sheet.auto_filter.ref,
        "rows": [[cell(it) for it in row] for row in sheet.iter_rows()],
    }
    for sheet in workbook
]
json.dump(sheets, sys.stdout)
