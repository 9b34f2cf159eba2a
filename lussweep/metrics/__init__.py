"""Image scores and AUC-ROC: pure functions of features, scores and labels, without files."""
