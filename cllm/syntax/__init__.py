"""Is a text right? Tree-sitter says whether it parses and from where on it cannot, gcc whether it compiles.

text --> grammars --> errors (how many) --> reports, prompts judged
                  --> growing (from which byte on nothing can be right) --> closing (what would end it well)
"""
