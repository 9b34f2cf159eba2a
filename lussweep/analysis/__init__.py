"""Statistics over patients: pure functions of scores, labels and patient ids, without files."""
