"""GeoAware-SC's pose flip: a source whose mirror image is more like the target is matched mirrored."""
