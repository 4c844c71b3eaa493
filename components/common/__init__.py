"""What several steps share: errors, stores, datasets, engines, tracking, models and pages."""
