"""What the Locust files share: images, intended times, shapes, statistics, thresholds."""
