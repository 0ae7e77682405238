"""MARCO: adapters in a frozen DINOv2 with registers, and a learned upsampling of its tokens."""
