"""`cllm bench cursors`: suggestions at cursors as people have them."""
