"""GeoAware-SC: a head on Stable Diffusion's and DINOv2's features, and these features without one."""
