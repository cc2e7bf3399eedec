"""Source `salesforce`: a folder of object exports, read by their own histories and never by what stands there now."""
