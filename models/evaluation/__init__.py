"""How well the models do: metrics, intervals, calibration, robustness, and reports that can be compared."""
