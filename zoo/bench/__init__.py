"""From trained models to result rows: protocol, measurement, baselines, prediction sheets and suites."""
