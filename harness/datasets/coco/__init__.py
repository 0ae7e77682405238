"""Key points in COCO's layout: files read strictly, and a rule that makes pairs of them."""
