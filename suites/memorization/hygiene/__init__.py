"""What must hold before a number about membership says anything: texts that do not differ, thresholds fixed apart."""
