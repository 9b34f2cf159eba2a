"""Image scores and AUC-ROC: pure functions of features and labels."""
