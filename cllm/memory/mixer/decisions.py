"""The decisions by which a text is told, token by token, and what is noted of its bytes.

    before a byte   does a token begin here?           decision 0, asked inside of a token that could end here
                    if so: does the text end here?
    the byte        its high bit, then bits 6 to 0     decisions 1 to 8

Only what the vocabulary leaves open is asked: bits that all tokens of the trie agree on are known. So the decisions'
probabilities multiply to those of tokens, which sum to one.
"""

MARK_INSIDE, MARK_BEGIN, MARK_END = (
    0,
    1,
    2,
)  # marks of a byte: inside a token, a token begins, the text has ended before it
NUM_DECISIONS = 9  # of a byte
TOKEN_BEGINS, HIGH_BIT = 0, 1  # decisions
LOW_NIBBLE = 5  # decisions from here on lie in a byte's second line
