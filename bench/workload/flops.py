"""Flops of one element of each operator's formula, counted in csrc/ops/<op>/<op>_math.h as written.

An addition, multiplication, comparison, selection or change of sign counts 1; a division, square root, exponential or
logarithm counts 8 (a special-function instruction and the polynomial or Newton step around it).
"""

HARD = 8

SIGMOID = 2 + HARD + 1 + 1 + HARD  # -|x|, exp, selection, 1 + e, division
SOFTPLUS = 2 + HARD + HARD + 2  # -|x|, exp, log1p, maximum, sum

OVERLAP = 4 + 2 + 2 + 1  # corners, sides, clamps, product
AREA = 2 + 2 + 1
IOU_WITH_AREAS = OVERLAP + 2 + 1 + HARD  # union, guard, division; both areas are known
IOU = IOU_WITH_AREAS + 2 * AREA
GIOU = IOU + 4 + AREA + 2 + HARD  # hull and its share
GIOU_BACKWARD = 4 * GIOU  # the quotient rule of both fractions in 8 corners, roughly

DECODE = 2 * (2 + 2 + 1 + 2 + HARD + 2 + 2)  # of x and y: centre and side, offset, clamp, exp, half, corners
DECODE_BACKWARD = 2 * (2 + 2 + 1 + 2 + HARD + 2 + 2 + 3 + 3)

FOCAL = 1 + 1 + SIGMOID + 1 + SOFTPLUS + 2  # sign, alpha, s^2, two products
FOCAL_BACKWARD = FOCAL + SIGMOID + 5

KL_SIDE = 2 + 2 + SIGMOID + SOFTPLUS + 1  # signs, q, rest
KL = 3 + 2 + SOFTPLUS + 2 + 1  # series test, linear part, sums, clamp
FOCAL_KL = KL_SIDE + SIGMOID + 1 + 2 + KL + 1 + 1
FOCAL_KL_BACKWARD = KL_SIDE + SIGMOID + 1 + 2 + 1 + KL + HARD + 5 + SIGMOID + 1 + 2

# One value in one iteration of EM, in float64, which counts double (H100: half the rate of float32).
EM_SCORE = 2 + 4 + 2 + 1 + 1 + HARD + 1 + HARD + 1 + 2 + 1 + HARD  # both log densities, exp, division, log1p
EM_SUMS = 2 + 4 + 1 + 2 * 4  # masses, weighted sums, log-likelihood, centred squares
EM_VALUE = 2 * (EM_SCORE + EM_SUMS)

VOTE = IOU + 3 + HARD + HARD + 1 + 2 * 4 + 1  # weight score * exp(-(1 - IoU)^2 / sigma), five sums
