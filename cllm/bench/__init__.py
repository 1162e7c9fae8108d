"""Side by side with what else a user could pick, in one run on one machine, as ratios.

The peers are imported by their own processes alone (`pip install 'cllm[bench]'`); the product never imports this room.
"""
