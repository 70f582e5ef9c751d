"""Methods that LEDNet is compared with, one small file each; `registry` names them all.

Where do I go to ...?
    add a row to the table       registry
    see a classical method       gamma, clahe, clahe_pca, retinex, adaptive_retinex
    see a defocus method         jnb, ebdb (the maps), defocus, deconvolution (what both do with them)
    see a published network      zero_dce, sci, iat, flol; published (how their weights are read)
    see a learned peer           drbn, dslr, enlighten_gan, dpdnet, llnet, zero_dce_training, retinex_unet,
                                 local_global, lednet_eccv, darkir; unet (what two are made of)
    add a learned peer           peer (what one is), peers (their names)
    find what several share      frames
"""
