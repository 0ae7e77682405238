"""SCorrSAN: features with their spatial context, and cosines of them on a fine grid."""
