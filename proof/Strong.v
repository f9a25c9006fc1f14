(* SPDX-License-Identifier: Apache-2.0 *)
(** How convex the problem is, and so how smooth its dual: entropy lies 2 d² above its tangent at distance d. *)
From Coq Require Import Reals Arith Lra Lia.
From Thermoe Require Import ProblemStatement Sums Entropy Convexity Optimality Necessity.
Open Scope R_scope.

(** * Entropy *)

Lemma slope_of_ln_1_minus s : s < 1 -> derivable_pt_lim (fun s => ln (1 - s)) s (- / (1 - s)).
Proof.
  intros Hs. replace (- / (1 - s)) with (/ (1 - s) * (0 - 1)) by ring.
  apply (derivable_pt_lim_comp (fun s => 1 - s) ln); [| apply derivable_pt_lim_ln; lra].
  apply (derivable_pt_lim_minus (fun _ => 1) (fun s => s)); [apply derivable_pt_lim_const | apply derivable_pt_lim_id].
Qed.

Lemma slope_of_square y s : derivable_pt_lim (fun s => (s - y)^2) s (2 * (s - y)).
Proof.
  replace (2 * (s - y)) with (INR 2 * (s - y) ^ 1 * (1 - 0)) by (simpl; ring).
  apply (derivable_pt_lim_comp (fun s => s - y) (fun s => s ^ 2)); [| apply derivable_pt_lim_pow].
  apply (derivable_pt_lim_minus (fun s => s) (fun _ => y)); [apply derivable_pt_lim_id | apply derivable_pt_lim_const].
Qed.

(** What is left of -(entropy's tangent at s), as a function of s, when 2 (s - y)² is taken off. *)
Lemma slope_of_rest y s : 0 < s < 1 ->
  derivable_pt_lim (fun s => - y * ln s + (- (1 - y) * ln (1 - s) + -2 * (s - y)^2)) s
    ((s - y) * ((1 - 2 * s)^2 / (s * (1 - s)))).
Proof.
  intros Hs.
  replace ((s - y) * ((1 - 2 * s)^2 / (s * (1 - s))))
    with (- y * / s + (- (1 - y) * (- / (1 - s)) + -2 * (2 * (s - y)))) by (field; lra).
  apply (derivable_pt_lim_plus (fun s => - y * ln s) (fun s => - (1 - y) * ln (1 - s) + -2 * (s - y)^2)).
  - apply (derivable_pt_lim_scal ln). apply derivable_pt_lim_ln. lra.
  - apply (derivable_pt_lim_plus (fun s => - (1 - y) * ln (1 - s)) (fun s => -2 * (s - y)^2)).
    + apply (derivable_pt_lim_scal (fun s => ln (1 - s))). apply slope_of_ln_1_minus. lra.
    + apply (derivable_pt_lim_scal (fun s => (s - y)^2)). apply slope_of_square.
Qed.

Lemma square_over_positive s : 0 < s < 1 -> 0 <= (1 - 2 * s)^2 / (s * (1 - s)).
Proof.
  intros Hs. apply Rmult_le_pos; [apply pow2_ge_0 | left; apply Rinv_0_lt_compat; nra].
Qed.

Lemma entropy_strong_inside y z : 0 < y < 1 -> 0 < z < 1 ->
  entropy z + logit z * (y - z) + 2 * (y - z)^2 <= entropy y.
Proof.
  intros Hy Hz. rewrite (logit_difference z Hz). unfold entropy.
  set (rest := fun s => - y * ln s + (- (1 - y) * ln (1 - s) + -2 * (s - y)^2)).
  enough (rest y <= rest z) as E by (unfold rest in E; nra).
  destruct (Rtotal_order y z) as [L | [-> | G]]; [| lra |].
  - destruct (MVT_cor2 rest (fun s => (s - y) * ((1 - 2 * s)^2 / (s * (1 - s)))) y z L) as (s & E & Hs).
    { intros s Hs. apply slope_of_rest. lra. }
    pose proof (square_over_positive s ltac:(lra)) as P.
    assert (0 <= (s - y) * ((1 - 2 * s)^2 / (s * (1 - s)))) by (apply Rmult_le_pos; lra). nra.
  - destruct (MVT_cor2 rest (fun s => (s - y) * ((1 - 2 * s)^2 / (s * (1 - s)))) z y G) as (s & E & Hs).
    { intros s Hs. apply slope_of_rest. lra. }
    pose proof (square_over_positive s ltac:(lra)) as P.
    assert (0 <= (y - s) * ((1 - 2 * s)^2 / (s * (1 - s)))) by (apply Rmult_le_pos; lra). nra.
Qed.

Lemma ln_1_minus_below z : 0 < z < 1 -> ln (1 - z) + 2 * z^2 <= 0.
Proof.
  intros Hz. set (rest := fun s => -1 * ln (1 - s) + -2 * (s - 0)^2).
  destruct (MVT_cor2 rest (fun s => -1 * (- / (1 - s)) + -2 * (2 * (s - 0))) 0 z ltac:(lra)) as (s & E & Hs).
  { intros s Hs. apply (derivable_pt_lim_plus (fun s => -1 * ln (1 - s)) (fun s => -2 * (s - 0)^2)).
    - apply (derivable_pt_lim_scal (fun s => ln (1 - s))). apply slope_of_ln_1_minus. lra.
    - apply (derivable_pt_lim_scal (fun s => (s - 0)^2)). apply slope_of_square. }
  replace (-1 * (- / (1 - s)) + -2 * (2 * (s - 0))) with ((1 - 2 * s)^2 / (1 - s)) in E by (field; lra).
  assert (0 <= (1 - 2 * s)^2 / (1 - s))
    by (apply Rmult_le_pos; [apply pow2_ge_0 | left; apply Rinv_0_lt_compat; lra]).
  unfold rest in E. replace (1 - 0) with 1 in E by ring. rewrite ln_1 in E. nra.
Qed.

Lemma entropy_mirrored y : entropy (1 - y) = entropy y.
Proof. unfold entropy. replace (1 - (1 - y)) with y by ring. ring. Qed.

Lemma entropy_strong y z : 0 <= y <= 1 -> 0 < z < 1 ->
  entropy z + logit z * (y - z) + 2 * (y - z)^2 <= entropy y.
Proof.
  intros Hy Hz.
  assert (forall w, 0 < w < 1 -> entropy w + logit w * (0 - w) + 2 * (0 - w)^2 <= entropy 0) as Zero.
  { intros w Hw. rewrite (logit_difference w Hw). unfold entropy. rewrite Rminus_0_r, ln_1.
    pose proof (ln_1_minus_below w Hw). nra. }
  destruct (Req_dec y 0) as [-> | N0]; [now apply Zero |].
  destruct (Req_dec y 1) as [-> | N1]; [| apply entropy_strong_inside; lra].
  pose proof (Zero (1 - z) ltac:(lra)) as Q. rewrite entropy_mirrored in Q.
  assert (entropy 1 = entropy 0) as E by (rewrite <- (entropy_mirrored 0); f_equal; ring). rewrite E.
  rewrite (logit_difference z Hz). rewrite (logit_difference (1 - z)) in Q by lra.
  replace (1 - (1 - z)) with z in Q by ring. nra.
Qed.

Lemma entropy_strongly_convex a s t : 0 <= a <= 1 -> 0 <= s <= 1 -> 0 <= t <= 1 ->
  entropy (a * s + (1 - a) * t) + 2 * (a * (1 - a) * (s - t)^2) <= a * entropy s + (1 - a) * entropy t.
Proof.
  intros Ha Hs Ht. set (z := a * s + (1 - a) * t).
  destruct (Req_dec s t) as [-> | D].
  { assert (z = t) as -> by (unfold z; ring). nra. }
  destruct (Req_dec a 0) as [-> | A0]; [unfold z; replace (0 * s + (1 - 0) * t) with t by ring; lra |].
  destruct (Req_dec a 1) as [-> | A1]; [unfold z; replace (1 * s + (1 - 1) * t) with s by ring; lra |].
  assert (0 < z < 1) as Hz by (unfold z; split; destruct (Rlt_le_dec s t); nra).
  pose proof (entropy_strong s z Hs Hz) as P. pose proof (entropy_strong t z Ht Hz) as Q.
  replace (s - z) with ((1 - a) * (s - t)) in P by (unfold z; ring).
  replace (t - z) with (- (a * (s - t))) in Q by (unfold z; ring).
  apply (Rmult_le_compat_l a) in P; [| lra]. apply (Rmult_le_compat_l (1 - a)) in Q; [| lra].
  replace (2 * (a * (1 - a) * (s - t)^2)) with (a * (2 * ((1 - a) * (s - t))^2) + (1 - a) * (2 * (- (a * (s - t)))^2))
    by ring. lra.
Qed.

(** * The problem *)

Lemma squares_nonneg m n (d : matrix) : 0 <= sum2 m n (fun i e => (d i e)^2).
Proof. apply sum_nonneg. intros. apply sum_nonneg. intros. apply pow2_ge_0. Qed.

Theorem gap_bounds_distance : Gap_bounds_distance.
Proof.
  intros p x y HF Htau [Hx Mx] Hy. set (D := sum2 (rows p) (experts p) (fun i e => (y i e - x i e)^2)).
  assert (0 <= D) as Dpos by (apply squares_nonneg).
  assert (forall a, 0 < a < 1 -> (1 - a) * (2 * tau p * D) <= objective p y - objective p x) as Near.
  { intros a Ha. assert (feasible p (mix a y x)) as Hm by (apply feasible_set_convex; auto; lra).
    pose proof (Mx _ Hm) as M. pose proof (objective_mix p a y x HF ltac:(lra) Hy Hx) as C.
    assert (a * (1 - a) * (2 * D) <= sum2 (rows p) (experts p) (saved a y x)) as S.
    { unfold D. rewrite <- !sum2_scale. apply sum2_le. intros i e Hi He.
      destruct (proj2 (Hx i Hi) e He) as [Rx _], (proj2 (Hy i Hi) e He) as [Ry _].
      pose proof (entropy_strongly_convex a _ _ ltac:(lra) Ry Rx). unfold saved, mix. lra. }
    apply (Rmult_le_compat_l (tau p)) in S; [| lra].
    apply (Rmult_le_reg_l a); [lra |]. nra. }
  apply Rnot_lt_le. intros H. set (E := 2 * tau p * D) in *.
  assert (0 <= E) by (unfold E; nra).
  pose proof (Mx y Hy) as M. set (gap := objective p y - objective p x) in *. assert (0 <= gap) by (unfold gap; lra).
  assert (0 < (E - gap) / (2 * E) < 1) as Ha.
  { split; [apply Rdiv_lt_0_compat; lra |]. apply (Rmult_lt_reg_r (2 * E)); [lra |]. field_simplify; lra. }
  pose proof (Near _ Ha) as N. replace ((1 - (E - gap) / (2 * E)) * E) with ((E + gap) / 2) in N by (field; lra). lra.
Qed.

(** Cauchy and Schwarz, of a sum with chosen terms. *)
Lemma square_of_sum n (chosen : nat -> bool) d :
  (sum n (fun i => if chosen i then d i else 0))^2 <=
  sum n (fun i => if chosen i then 1 else 0) * sum n (fun i => if chosen i then (d i)^2 else 0).
Proof.
  induction n as [| n IH]; cbn [sum]; [lra |].
  set (s := sum n (fun i => if chosen i then d i else 0)) in *.
  set (c := sum n (fun i => if chosen i then 1 else 0)) in *.
  set (q := sum n (fun i => if chosen i then (d i)^2 else 0)) in *.
  assert (0 <= c) as Hc by (apply sum_nonneg; intros i _; destruct (chosen i); lra).
  assert (0 <= q) as Hq by (apply sum_nonneg; intros i _; destruct (chosen i); [apply pow2_ge_0 | lra]).
  destruct (chosen n); [| rewrite !Rplus_0_r; exact IH].
  (* (s + d)² <= (c + 1)(q + d²), as 2 s d <= c d² + q where s² <= c q. *)
  enough (2 * s * d n <= c * (d n)^2 + q) by nra.
  destruct (Req_dec c 0) as [Z | N].
  - assert (s = 0) as -> by (rewrite Z in IH; nra). nra.
  - assert (0 < c) by lra. apply (Rmult_le_reg_l c); [lra |].
    assert (0 <= (c * d n - s)^2) by apply pow2_ge_0. nra.
Qed.

Theorem loads_fall_smoothly : Loads_fall_smoothly.
Proof.
  intros p b c x y largest Hw Htau Hlargest Hx Hy.
  set (D := sum2 (rows p) (experts p) (fun i e => (x i e - y i e)^2)).
  assert (4 * tau p * D <= - paid p (difference b c) (difference (loads p x) (loads p y))) as Monotone.
  { assert (2 * tau p * D <= objective (priced p c) x - objective (priced p c) y) as Y
      by exact (gap_bounds_distance (priced p c) y x (priced_convex p c) Htau Hy (proj1 Hx)).
    assert (2 * tau p * sum2 (rows p) (experts p) (fun i e => (y i e - x i e)^2) <=
            objective (priced p b) y - objective (priced p b) x) as X
      by exact (gap_bounds_distance (priced p b) x y (priced_convex p b) Htau Hx (proj1 Hy)).
    rewrite (sum2_ext _ _ _ (fun i e => (x i e - y i e)^2)) in X by (intros; ring). fold D in X.
    unfold objective in X, Y. cbn [rows experts tau u cost priced] in X, Y.
    change (loads (priced p b)) with (loads p) in X. change (loads (priced p c)) with (loads p) in Y.
    unfold paid in *.
    rewrite (sum2_ext _ _ (fun l e => difference b c l e * _) (fun l e =>
      (b l e * loads p x l e - b l e * loads p y l e) - (c l e * loads p x l e - c l e * loads p y l e)))
      by (intros; unfold difference; ring).
    rewrite !sum2_minus. lra. }
  assert (sum2 (layers p) (experts p) (fun l e => (loads p x l e - loads p y l e)^2) <= largest * D) as Spread.
  { pose proof (prices_by_row p (fun _ _ => 1) (fun i e => (x i e - y i e)^2) Hw) as One. cbv beta in One.
    unfold paid in One.
    rewrite (sum2_ext (rows p) _ _ (fun i e => (x i e - y i e)^2)) in One by (intros; ring). fold D in One.
    rewrite <- One, <- sum2_scale. apply sum2_le. intros l e Hl He.
    pose proof (square_of_sum (rows p) (fun i => (layer p i =? l)%nat) (fun i => x i e - y i e)) as Q.
    cbv beta in Q. change (loads p x l e - loads p y l e) with (difference (loads p x) (loads p y) l e).
    rewrite loads_minus. unfold loads, difference. eapply Rle_trans; [exact Q |]. rewrite Rmult_1_l.
    apply Rmult_le_compat_r; [| now apply Hlargest].
    apply sum_nonneg. intros i _. destruct (_ =? _)%nat; [apply pow2_ge_0 | lra]. }
  destruct (Nat.eq_dec (layers p) 0) as [Z | N].
  - unfold paid, sum2. rewrite Z. simpl. lra.
  - assert (0 <= tokens p 0) by (apply sum_nonneg; intros i _; destruct (_ =? _)%nat; lra).
    pose proof (Hlargest 0%nat ltac:(lia)).
    apply (Rmult_le_compat_l largest) in Monotone; [| lra]. nra.
Qed.
