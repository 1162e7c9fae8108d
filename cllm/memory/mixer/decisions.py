"""The binary decisions that code a text, and the marks of its bytes.

    before a byte   does a token begin here?           decision 0, coded inside a token that could end here
                    if so: does the text end here?
    the byte        its high bit, then bits 6 to 0     decisions 1 to 8

Only decisions that the vocabulary leaves open are coded: bits on which all tokens of the trie agree are implied. So the
products of the decisions' probabilities are the tokens' probabilities, which sum to one.
"""

MARK_INSIDE, MARK_BEGIN, MARK_END = (
    0,
    1,
    2,
)  # marks of a byte: inside a token, a token begins, the text has ended before it
NUM_DECISIONS = 9  # of a byte
TOKEN_BEGINS, HIGH_BIT = 0, 1  # decisions
LOW_NIBBLE = 5  # decisions from here on are in a byte's second slot
