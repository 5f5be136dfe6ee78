"""What the chapters compute from runs: scores, claims, limits, the replication, and the sentences about them."""
