"""What each training objective gives: quality, absorption, the true tree, known features; sae-bench beside stock."""
