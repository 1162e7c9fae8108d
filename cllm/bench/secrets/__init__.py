"""`cllm bench secrets`: redaction, compared with programs that find secrets."""
