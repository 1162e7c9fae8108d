"""Validity of source text: tree-sitter counts and locates syntax errors, gcc checks whether C compiles.

text --> grammars --> error_count (number of errors) --> reports, judged prompts
                  --> prefix_parser (offset of the first certain error) --> closing (bytes that complete the text)
"""
