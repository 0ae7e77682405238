"""SemiMatch: CATs' network, tuned with pseudo-labels of its own, and read at another temperature."""
