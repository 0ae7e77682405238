"""PWarpC-NCNet: NCNet, trained so that matches agree with a known warp (Truong et al., CVPR 2022)."""
