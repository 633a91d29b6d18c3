"""Group fairness of a classifier on labelled texts: gaps of rates, of calibration and of AUCs."""
